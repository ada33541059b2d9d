# RepVGG-B3g4 on ImageNet-1k with RandAugment, Mixup and one cosine over 200 epochs.
_base_ = ['../_base_/model/repvgg_b3g4.py', '../_base_/data/imagenet_pillow.py', '../_base_/schedule/sgd_step_100e.py']
model = dict(train_cfg=dict(augments=dict(type='Mixup', alpha=0.2)))
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', scale=224, backend='pillow'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(
        type='RandAugment',
        policies='timm_increasing',
        num_policies=2,
        total_level=10,
        magnitude_level=7,
        magnitude_std=0.5,
        hparams=dict(pad_val=[104, 116, 124])),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(
    paramwise_cfg=dict(
        bias_decay_mult=0.0,
        custom_keys={
            'branch_3x3.norm': dict(decay_mult=0.0),
            'branch_1x1.norm': dict(decay_mult=0.0),
            'branch_norm.bias': dict(decay_mult=0.0),
        }))
param_scheduler = dict(
    _delete_=True,
    type='CosineAnnealingLR',
    T_max=200,
    by_epoch=True,
    begin=0,
    end=200,
    convert_to_iter_based=True)
train_cfg = dict(max_epochs=200)
