"""flux-nano: the recipe on a few made-up icons, in seconds."""
