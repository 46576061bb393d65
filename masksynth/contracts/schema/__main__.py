"""Print the JSON Schema of documents of contracts."""

from masksynth.contracts.schema import text

if __name__ == "__main__":
    print(text(), end="")
