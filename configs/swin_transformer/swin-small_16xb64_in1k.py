# Swin-S on ImageNet-1k, 16 GPUs with 64 pictures each, 300 epochs.
_base_ = 'swin-tiny_16xb64_in1k.py'
model = dict(backbone=dict(arch='small', drop_path_rate=0.3))
