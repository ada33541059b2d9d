"""`python -m classlens`."""

import sys

from classlens.cli.main import main

sys.exit(main())
