"""Print the JSON Schema of instance files."""

from masksynth.tasks.schema import text

if __name__ == "__main__":
    print(text(), end="")
