# Swin-T on ImageNet-1k, 16 GPUs with 64 pictures each, 300 epochs.
_base_ = ['../_base_/model/swin_tiny.py', '../_base_/data/imagenet_swin.py', '../_base_/schedule/adamw_swin_300e.py']
