"""What is changed and refused between authorization and storage, one file a plugin."""
