// expect: value 403
// The config has this host and the run has not.
return (await fetch("http://NARROWED/")).status;
