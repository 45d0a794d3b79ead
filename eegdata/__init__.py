"""Data sets on disk and in memory: folders, `.pth` files, trials, splits, pictures, montage."""
