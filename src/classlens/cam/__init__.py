"""Where a classifier looked: Classifier -> explain -> Saliency -> Heatmap. Needs torch, except `saliency`."""
