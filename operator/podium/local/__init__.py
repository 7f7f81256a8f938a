"""The laptop shell: the same engine on processes of this machine, its state in a directory."""
