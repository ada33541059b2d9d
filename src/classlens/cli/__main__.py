"""`python -m classlens.cli`."""

import sys

from classlens.cli.main import main

sys.exit(main())
