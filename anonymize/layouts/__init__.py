"""Recordings as folders of files: KITTI and nuScenes, item by item, cleansed, unlinked and re-read."""
