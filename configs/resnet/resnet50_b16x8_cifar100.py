# ResNet-50 for small pictures on CIFAR-100, as 0.x wrote it.
_base_ = '../_base_/model/resnet50_cifar100.py'
img_norm_cfg = dict(mean=[129.304, 124.070, 112.434], std=[68.170, 65.392, 70.418], to_rgb=False)
train_pipeline = [
    dict(type='RandomCrop', size=32, padding=4),
    dict(type='RandomFlip', flip_prob=0.5, direction='horizontal'),
    dict(type='Normalize', **img_norm_cfg),
    dict(type='ImageToTensor', keys=['img']),
    dict(type='ToTensor', keys=['gt_label']),
    dict(type='Collect', keys=['img', 'gt_label']),
]
test_pipeline = [
    dict(type='Normalize', **img_norm_cfg),
    dict(type='ImageToTensor', keys=['img']),
    dict(type='Collect', keys=['img']),
]
data = dict(
    samples_per_gpu=16,
    workers_per_gpu=2,
    train=dict(type='CIFAR100', data_prefix='data/cifar100', pipeline=train_pipeline),
    val=dict(type='CIFAR100', data_prefix='data/cifar100', pipeline=test_pipeline, test_mode=True),
    test=dict(type='CIFAR100', data_prefix='data/cifar100', pipeline=test_pipeline, test_mode=True))
optimizer = dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=0.0005)
optimizer_config = dict(grad_clip=None)
lr_config = dict(policy='step', step=[60, 120, 160], gamma=0.2)
runner = dict(type='EpochBasedRunner', max_epochs=200)
