"""How each act is done, one file each.

`run` takes the subject, the request, the folder of the run, a progress that is told at every batch, and what loads the model
(None: as the settings of device and precision say).
"""
