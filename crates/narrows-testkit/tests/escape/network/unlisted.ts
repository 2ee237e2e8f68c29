// expect: threw NotCapable | threw PermissionDenied
await fetch("http://UNLISTED/");
