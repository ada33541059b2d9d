optim_wrapper = dict(optimizer=dict(type="SGD", lr=0.1, momentum=0.9))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=True, end=2, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", T_max=6, by_epoch=True, begin=2, end=8, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=8)
train_dataloader = dict(batch_size=8, dataset=dict(type="ImageNet", data_root="none", split="train", pipeline=[]))
