"""COCO's figures for predictions, computed by pycocotools."""
