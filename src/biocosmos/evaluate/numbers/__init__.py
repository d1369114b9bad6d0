"""Numbers of reports: averages with intervals, calibration, agreement in a tree; arrays in, arrays and rows out."""
