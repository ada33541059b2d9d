"""Look at image-classification training: its data, its learning rate, its evidence.

    source = classlens.open_source("configs/resnet/resnet50_8xb32_in1k.py")
    classlens.draw(classlens.trace(source.dataset("train"), index=3, seed=0))

The names in `__init__.pyi` are the whole public API; they are loaded when first used, so that `import classlens`
costs nothing and never imports a framework.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
