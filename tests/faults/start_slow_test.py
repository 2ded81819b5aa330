"""A hundred rounds of hosts that start together."""
import unittest

import start_test


class TogetherLong(start_test.Together):
    rounds = 100


def load_tests(loader, tests, pattern):
    return loader.loadTestsFromTestCase(TogetherLong)


if __name__ == "__main__":
    unittest.main()
