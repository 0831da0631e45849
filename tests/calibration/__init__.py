"""Does the tool keep its promises about its own numbers? Long runs, started by hand with `make calibration`."""
