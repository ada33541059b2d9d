# RepVGG-B3g4 on ImageNet-1k with Mixup and a warmed-up cosine over 200 epochs, as 0.x wrote it.
_base_ = ['../_base_/model/repvgg_b3g4.py', '../_base_/data/imagenet_pillow_0x.py']
model = dict(train_cfg=dict(augments=dict(type='BatchMixup', alpha=0.2, num_classes=1000, prob=1.)))
data = dict(samples_per_gpu=64)
optimizer = dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=0.0001)
optimizer_config = dict(grad_clip=None)
lr_config = dict(policy='CosineAnnealing', min_lr=0, warmup='linear', warmup_iters=25025, warmup_ratio=0.25)
runner = dict(type='EpochBasedRunner', max_epochs=200)
