"""A map as plain data: what was asked, what the model said, where the map is hottest. Ready for JSON; no pixels."""

from typing import Any

from classlens.cam.saliency import Fused, Saliency


def facts(found: Saliency | Fused) -> dict[str, Any]:
    """Everything about one map except its pixels; lists and numbers only."""
    subject = found.subject
    parts = found.parts if isinstance(found, Fused) else (found,)
    heatmap = found.heatmap()
    return {
        "method": found.method,
        "layers": [part.layer for part in parts],
        "layer_sizes": [list(part.values.shape) for part in parts],
        "size_as_fed": list(found.image.size),
        "target": subject.target if subject else None,
        "class_name": subject.class_name if subject else None,
        "against": subject.against if subject else None,
        "logit": subject.logit if subject else None,
        "probability": subject.probability if subject else None,
        "against_probability": subject.against_probability if subject else None,
        "output": subject.output if subject else None,
        "hottest": list(heatmap.hottest) if heatmap.hottest else None,
        "empty": heatmap.empty,
    }
