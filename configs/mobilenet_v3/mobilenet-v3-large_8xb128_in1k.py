# MobileNetV3-Large on ImageNet-1k, 8 GPUs with 128 pictures each, AutoAugment and random erasing, 600 epochs.
_base_ = [
    '../_base_/model/mobilenet_v3_large.py', '../_base_/data/imagenet_pillow.py', '../_base_/schedule/sgd_step_100e.py'
]
bgr_mean = _base_.data_preprocessor['mean'][::-1]
bgr_std = _base_.data_preprocessor['std'][::-1]
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', scale=224, backend='pillow'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='AutoAugment', policies='imagenet', hparams=dict(pad_val=[round(x) for x in bgr_mean])),
    dict(
        type='RandomErasing',
        erase_prob=0.2,
        mode='rand',
        min_area_ratio=0.02,
        max_area_ratio=1 / 3,
        fill_color=bgr_mean,
        fill_std=bgr_std),
    dict(type='PackInputs'),
]
train_dataloader = dict(batch_size=128, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=128)
test_dataloader = val_dataloader
optim_wrapper = dict(
    optimizer=dict(
        _delete_=True, type='RMSprop', lr=0.064, alpha=0.9, momentum=0.9, eps=0.0316, weight_decay=1e-5))
param_scheduler = dict(_delete_=True, type='StepLR', by_epoch=True, step_size=2, gamma=0.973)
train_cfg = dict(max_epochs=600)
auto_scale_lr = dict(base_batch_size=1024)
