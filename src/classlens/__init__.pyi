from .adapters import open_source as open_source
from .cam.classifier import Classifier as Classifier
from .cam.classifier import Layer as Layer
from .cam.explain import ExplainOptions as ExplainOptions
from .cam.explain import explain as explain
from .cam.faithfulness import evaluate as evaluate
from .cam.saliency import Explanation as Explanation
from .cam.saliency import Fused as Fused
from .cam.saliency import Heatmap as Heatmap
from .cam.saliency import Saliency as Saliency
from .config import read_config as read_config
from .dataset.dataset import Dataset as Dataset
from .dataset.dataset import Stage as Stage
from .dataset.decode import read_image as read_image
from .dataset.trace import Trace as Trace
from .dataset.trace import trace as trace
from .errors import ClasslensError as ClasslensError
from .figures import draw as draw
from .image import Encoding as Encoding
from .image import Image as Image
from .schedule.replay import Curve as Curve
from .schedule.replay import Curves as Curves
from .schedule.replay import replay as replay
from .schedule.schedule import Clock as Clock
from .schedule.schedule import Schedule as Schedule
from .source import Source as Source

__version__: str
