"""LiDAR point clouds: KITTI sweeps, PCD, LAS, LAZ and COPC, cleansed and unlinked."""
