"""Label sets to and from COCO, YOLO, Pascal VOC and the tables of nuScenes.

Readers and writers are own code: datumaro, which reads most of these formats, needs older pillow, pandas and
OpenCV than Fleetgate and so an environment of its own; a test holds what is written here against it.
"""
