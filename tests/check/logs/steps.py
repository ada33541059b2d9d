optim_wrapper = dict(optimizer=dict(type="SGD", lr=0.1, momentum=0.9))
param_scheduler = dict(type="MultiStepLR", by_epoch=True, milestones=[3, 6], gamma=0.1)
train_cfg = dict(by_epoch=True, max_epochs=8)
train_dataloader = dict(batch_size=8, dataset=dict(type="ImageNet", data_root="none", split="train", pipeline=[]))
