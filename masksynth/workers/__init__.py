"""Worker processes of this machine, executors and Dask clusters, on which searches and packing runs run their jobs."""
