# ResNet-50 for small pictures on CIFAR-100, 8 GPUs with 16 pictures each, 200 epochs.
_base_ = [
    '../_base_/model/resnet50_cifar100.py', '../_base_/data/cifar100.py', '../_base_/schedule/sgd_step_cifar_200e.py'
]
optim_wrapper = dict(optimizer=dict(weight_decay=0.0005))
param_scheduler = dict(milestones=[60, 120, 160], gamma=0.2)
