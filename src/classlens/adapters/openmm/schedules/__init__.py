"""What OpenMMLab configs say about schedules: chained rules (1.x), policies (0.x), and parameter groups."""
