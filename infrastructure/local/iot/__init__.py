"""AWS IoT Core on this machine: broker, policy, topic rule and its actions."""
