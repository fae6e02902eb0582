"""A runtime-spec document and a root filesystem become a process: see launcher, userns, seccomp, cgroups."""
