# ResNet-18 for small pictures on CIFAR-10, 8 GPUs with 16 pictures each, 200 epochs.
_base_ = [
    '../_base_/model/resnet18_cifar.py', '../_base_/data/cifar10.py', '../_base_/schedule/sgd_step_cifar_200e.py'
]
