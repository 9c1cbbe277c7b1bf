"""What deploys and runs the cloud half: the template, its package and the local cloud."""
