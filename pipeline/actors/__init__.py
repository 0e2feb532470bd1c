"""Ray shells around the ports: workers, shards and their supervisor; factories tell them what to build."""
