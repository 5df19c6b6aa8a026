"""The main job on phantom mammograms: `python -m scripts.demo`."""


def main() -> None:
    """Run the demo."""
    print("The demo is being built.")


if __name__ == "__main__":
    main()
