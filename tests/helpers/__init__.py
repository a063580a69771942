"""What several tests share; imported as `helpers.<name>` (setup.cfg puts tests/ on the path)."""
