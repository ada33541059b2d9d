model = dict(
    type='ImageClassifier',
    backbone=dict(type='RepVGG', arch='B3g4', out_indices=(3, )),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=2560,
        loss=dict(
            type='LabelSmoothLoss', label_smooth_val=0.1, mode='classy_vision', num_classes=1000, loss_weight=1.0),
        topk=(1, 5)))
