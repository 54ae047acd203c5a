"""What a web chat channel needs to know: nothing. Its rooms lie in the house's own database."""

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="WEBCHAT_", extra="ignore", frozen=True)
