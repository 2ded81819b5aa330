"""azure.keyvault.keys: the whole life of a key, and its cryptography checked by python-cryptography."""

import hashlib
import os

from azure.keyvault.keys import KeyClient, KeyRotationLifetimeAction, KeyRotationPolicy, KeyRotationPolicyAction
from azure.keyvault.keys.crypto import CryptographyClient, EncryptionAlgorithm, SignatureAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from support import Case, Credential, client, unique


def over(key):
    return CryptographyClient(key, Credential(), verify_challenge_resource=False)


class Keys(Case):
    def setUp(self):
        self.keys = client(KeyClient)

    def test_life(self):
        name = unique("life")
        made = self.keys.create_rsa_key(name, size=2048, tags={"a": "b"})
        self.assertEqual(self.keys.get_key(name).id, made.id)
        self.assertEqual(self.keys.update_key_properties(name, enabled=False).properties.enabled, False)
        self.keys.update_key_properties(name, enabled=True)
        self.assertIn(name, [k.name for k in self.keys.list_properties_of_keys()])
        self.assertEqual(len(list(self.keys.list_properties_of_key_versions(name))), 1)
        deleted = self.keys.begin_delete_key(name).result()
        self.assertEqual(deleted.name, name)
        self.refused(404, self.keys.get_key, name)
        self.refused(409, self.keys.create_ec_key, name)
        self.assertIn(name, [k.name for k in self.keys.list_deleted_keys()])
        self.assertEqual(self.keys.begin_recover_deleted_key(name).result().id, made.id)
        blob = self.keys.backup_key(name)
        self.refused(409, self.keys.restore_key_backup, blob)
        self.keys.begin_delete_key(name).wait()
        self.keys.purge_deleted_key(name)
        self.refused(404, self.keys.get_deleted_key, name)
        self.assertEqual(self.keys.restore_key_backup(blob).id, made.id)

    def test_sign(self):
        for algorithm, hash_ in ((SignatureAlgorithm.rs256, hashes.SHA256()), (SignatureAlgorithm.ps384, hashes.SHA384())):
            made = self.keys.create_rsa_key(unique("sign"), size=3072)
            public = rsa.RSAPublicNumbers(int.from_bytes(made.key.e, "big"), int.from_bytes(made.key.n, "big")).public_key()
            data = os.urandom(99)
            digest = hashlib.new(hash_.name, data).digest()
            signed = over(made).sign(algorithm, digest)
            scheme = padding.PKCS1v15() if algorithm == SignatureAlgorithm.rs256 else padding.PSS(padding.MGF1(hash_), hash_.digest_size)
            public.verify(signed.signature, data, scheme, hash_)
            self.assertTrue(over(made).verify(algorithm, digest, signed.signature).is_valid)

    def test_encrypt(self):
        made = self.keys.create_rsa_key(unique("encrypt"), size=2048)
        plain = os.urandom(32)
        sealed = over(made).encrypt(EncryptionAlgorithm.rsa_oaep_256, plain)
        self.assertEqual(over(made).decrypt(EncryptionAlgorithm.rsa_oaep_256, sealed.ciphertext).plaintext, plain)
        oct_ = self.keys.create_oct_key(unique("oct"), size=256, hardware_protected=True)
        # not wrap_key: without the key's bytes this version of the package wraps with a key that it makes up, locally
        box = over(oct_).encrypt(EncryptionAlgorithm.a256_gcm, plain, additional_authenticated_data=b"aad")
        opened = over(oct_).decrypt(EncryptionAlgorithm.a256_gcm, box.ciphertext, iv=box.iv, authentication_tag=box.tag,
                                    additional_authenticated_data=b"aad")
        self.assertEqual(opened.plaintext, plain)

    def test_rotation(self):
        name = unique("rotate")
        first = self.keys.create_rsa_key(name)
        policy = KeyRotationPolicy()
        policy.expires_in = "P90D"
        policy.lifetime_actions = [KeyRotationLifetimeAction(KeyRotationPolicyAction.rotate, time_before_expiry="P30D")]
        self.keys.update_key_rotation_policy(name, policy)
        self.assertEqual(self.keys.get_key_rotation_policy(name).expires_in, "P90D")
        self.assertNotEqual(self.keys.rotate_key(name).id, first.id)

    def test_random(self):
        self.assertEqual(len(self.keys.get_random_bytes(count=100)), 100)
