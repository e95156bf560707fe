"""Starting programs as their user: fork, exec, posix_spawn, session servers, supervisors."""
