"""Camera producers: synthetic streets, video files and folders of images, paced open loop."""
