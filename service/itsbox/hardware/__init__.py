"""The devices: ITS, redistributors, distributor, and the bus that decodes addresses. They trust whoever drives them."""
