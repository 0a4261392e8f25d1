INSERT INTO reports (fleet, feed, host, digest, body, number, at, sent, silent_at) VALUES ('prod/search', 'reports/x', 'i-1', '9114a792399fe987e6bcb80242500bef166f85fc04236ae5eaead28b01e8e915', '{"runs":"9.9.8"}', 7, 1795424400000000, 1795424400000000, 1795424700000000);
INSERT INTO snapshots (fleet, feed, digest, body, read_at) VALUES ('prod/search', 'reports/x', '541ad17dfd791b456101cdbe6f936cfaded12034e71b78accc07a8e6c0deee6e', '{"hosts":{}}', 1795424400000000);
INSERT INTO feeds (name, read_at, trouble, tried_at) VALUES ('reports/x', 1795424400000000, NULL, 1795424400000000);
