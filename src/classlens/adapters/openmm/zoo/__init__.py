"""The zoo: OpenMMLab's documented classifiers with its parameter and layer names, built without OpenMMLab."""
