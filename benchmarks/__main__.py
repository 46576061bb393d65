"""``python -m benchmarks``: run the command of `benchmarks.command`."""

if __name__ == "__main__":  # a spawned cell imports this file under another name; it must not import every benchmark
    from benchmarks.command import main

    main(prog_name="python -m benchmarks")
