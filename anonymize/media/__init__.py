"""Images: detectors of faces and plates, destructive masks, codecs that write pixels only."""
