# ResNet-50 on ImageNet-1k, 8 GPUs with 32 pictures each, 100 epochs.
_base_ = ['../_base_/model/resnet50.py', '../_base_/data/imagenet.py', '../_base_/schedule/sgd_step_100e.py']
