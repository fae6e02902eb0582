"""Write what a build led to: into the store under names, as an archive, as a tree."""
