"""Long operations, one file each: `run(config, folder, progress)`."""
