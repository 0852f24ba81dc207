"""Labelled pictures: COCO files and folders in the layouts of COCO, YOLO and LabelMe."""
